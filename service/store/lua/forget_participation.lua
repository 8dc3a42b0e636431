-- An application has been told: it holds no session of these any more, unless it took part in a newer one since.
-- KEYS  participation, cutoffs
-- ARGV  revocation_id, json {{client_id, sid or '' for all, sub, session-scoped (bool)}, …}
-- Returns the number of entries dropped
local participation, cutoffs = KEYS[1], KEYS[2]
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or false) or 0
local dropped = 0
local fields = fields_of(participation)
for _, told in ipairs(cjson.decode(ARGV[2])) do
  for field, raw in pairs(fields) do
    local name, entry = cjson.decode(field), cjson.decode(raw)
    local same = name[1] == told[1] and entry.sub == told[3] and (told[2] == '' or name[2] == told[2])
    if same and (told[4] or entry.stamp <= through) then
      dropped = dropped + redis.call('HDEL', participation, field)
    end
  end
end
return dropped
