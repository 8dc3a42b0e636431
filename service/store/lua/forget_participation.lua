-- Applications have been told of a revocation: they hold none of these sessions any more; what a newer sign-in added stays.
-- KEYS  cutoffs, logout-cutoffs, participation, its untils, its counts, participation-lost
-- ARGV  revocation_id, session_id when only one was meant or '', json {{client_id, sub, sid or '' for every one}, …},
--       json {begun_by_ms, sid, or_without_sid, offline, prompt, arrived_ms} of a partial cut-off or '', now_ms
-- Returns the number of entries dropped
local cutoffs, logout_cutoffs, participation = KEYS[1], KEYS[2], {unpack(KEYS, 3)}
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or redis.call('ZSCORE', logout_cutoffs, ARGV[1]) or false) or 0
local told, now = {}, tonumber(ARGV[5])
local cut = ARGV[4] ~= '' and cjson.decode(ARGV[4])
if cut then cut.through = through end
for _, each in ipairs(cjson.decode(ARGV[3])) do told[cjson.encode(each)] = true end
local dropped = 0
for field, raw in pairs(fields_of(participation[1])) do
  local name, entry = cjson.decode(field), cjson.decode(raw)
  local meant = ARGV[2] == entry.session_id or ARGV[2] == '' and entry.stamp <= through
  -- It may have joined another of their sessions since it was planned to be told.
  if cut then meant = covers(cut, entry) end
  if meant and (told[cjson.encode({name[1], entry.sub, name[2]})] or told[cjson.encode({name[1], entry.sub, ''})]) then
    if cut and not cut.offline and (entry.offline_until_ms or 0) > now then
      -- It still holds an offline token: it is told again when that is ended.
      entry.offline_only = true
      redis.call('HSET', participation[1], field, cjson.encode(entry))
    else
      dropped = dropped + forget_entry(participation, field)
    end
  end
end
return dropped
