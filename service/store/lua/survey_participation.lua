-- What some applications hold of a person now, and what of it a revocation covers; nothing is changed.
-- KEYS  participation, cutoffs, logout-cutoffs, participation-lost
-- ARGV  revocation_id, now_ms, accepted_at_ms, session_id when only one was meant or '',
--       json {begun_by_ms, sid, or_without_sid, offline, prompt} of a partial cut-off or '', client_id, …
-- Returns json {{client_id, sub, sid, covered, newer = begun after it, lost = of what it covers some may have been forgotten}, …}
local participation, cutoffs, logout_cutoffs, lost = unpack(KEYS)
local id, now, only = ARGV[1], tonumber(ARGV[2]), ARGV[4]
local cut = ARGV[5] ~= '' and cjson.decode(ARGV[5])
-- The oldest cut-offs are forgotten: then the moment it was accepted stands for its stamp.
local through = tonumber(redis.call('ZSCORE', cutoffs, id) or redis.call('ZSCORE', logout_cutoffs, id) or false) or tonumber(ARGV[3])
if cut then cut.through = through end
local wanted, found = {}, {}
for i = 6, #ARGV do wanted[ARGV[i]] = true end
for field, raw in pairs(fields_of(participation)) do
  local name, entry = cjson.decode(field), cjson.decode(raw)
  -- Told before, and left on the list for the sake of an offline token: there is no session.
  local session = entry.until_ms > now and not (cut and entry.offline_only and not cut.offline)
  if wanted[name[1]] and session then
    local covered = entry.stamp <= through
    if only ~= '' then covered = entry.session_id == only end
    if cut then covered = covers(cut, entry) end
    local lowest = tonumber(redis.call('HGET', lost, cjson.encode({name[1], entry.sub})) or false)
    table.insert(found, {
      client_id = name[1], sub = entry.sub, sid = name[2], covered = covered, newer = not covered and entry.stamp > through,
      lost = lowest ~= nil and lowest <= through,
    })
  end
end
return cjson.encode(found)
