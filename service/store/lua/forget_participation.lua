-- Applications have been told of a revocation: they hold none of these sessions any more; what a newer sign-in added stays.
-- KEYS  cutoffs, participation, its untils, its counts
-- ARGV  revocation_id, session_id when only one was meant or '', json {{client_id, sub, sid or '' for every one}, …}
-- Returns the number of entries dropped
local cutoffs, participation = KEYS[1], {unpack(KEYS, 2)}
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or false) or 0
local told = {}
for _, each in ipairs(cjson.decode(ARGV[3])) do told[cjson.encode(each)] = true end
local dropped = 0
for field, raw in pairs(fields_of(participation[1])) do
  local name, entry = cjson.decode(field), cjson.decode(raw)
  local meant = ARGV[2] == '' and entry.stamp <= through or ARGV[2] == entry.session_id
  if meant and (told[cjson.encode({name[1], entry.sub, name[2]})] or told[cjson.encode({name[1], entry.sub, ''})]) then
    dropped = dropped + forget_entry(participation, field)
  end
end
return dropped
