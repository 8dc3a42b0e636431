-- Applications have been told of a revocation: they hold none of these sessions any more, unless they took part in a newer
-- one since.
-- KEYS  participation, participation untils, cutoffs
-- ARGV  revocation_id, '1' when only one session was meant, json {field, …} told by `sid`,
--       json {{client_id, sub}, …} told of every session
-- Returns the number of entries dropped
local participation, untils, cutoffs = unpack(KEYS)
local through = tonumber(redis.call('ZSCORE', cutoffs, ARGV[1]) or false) or 0
local one_only, dropped = ARGV[2] == '1', 0

local function drop(field, raw)
  if not raw or not (one_only or cjson.decode(raw).stamp <= through) then return end
  redis.call('ZREM', untils, field)
  dropped = dropped + redis.call('HDEL', participation, field)
end

for _, field in ipairs(cjson.decode(ARGV[3])) do drop(field, redis.call('HGET', participation, field)) end

local told = {}
for _, each in ipairs(cjson.decode(ARGV[4])) do told[each[1] .. ' ' .. each[2]] = true end
if next(told) then
  for field, raw in pairs(fields_of(participation)) do
    if told[cjson.decode(field)[1] .. ' ' .. cjson.decode(raw).sub] then drop(field, raw) end
  end
end
return dropped
