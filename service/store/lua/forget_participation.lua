-- An application has been told: it holds none of these sessions any more, unless it took part in a newer one since.
-- KEYS  participation, cutoffs
-- ARGV  revocation_id, client_id, sub, sid ('' for every one), '1' when only one session was meant
-- Returns the number of entries dropped
local participation, cutoffs = KEYS[1], KEYS[2]
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or false) or 0
local dropped = 0
for field, raw in pairs(fields_of(participation)) do
  local name, entry = cjson.decode(field), cjson.decode(raw)
  local told = name[1] == ARGV[2] and entry.sub == ARGV[3] and (ARGV[4] == '' or name[2] == ARGV[4])
  if told and (ARGV[5] == '1' or entry.stamp <= through) then
    dropped = dropped + redis.call('HDEL', participation, field)
  end
end
return dropped
