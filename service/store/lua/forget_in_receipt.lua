-- Forget somebody in the receipt of a finished revocation; the receipt itself where it was about nobody else.
-- KEYS  revocation, deliveries, leases
-- ARGV  user_id
-- Returns 1 | 0 when it is not finished yet
local revocation, deliveries = KEYS[1], KEYS[2]
local state = redis.call('HGET', revocation, 'state')
if not state then return 1 end
if state ~= 'completed' and state ~= 'incomplete' then return 0 end
local others = {}
for _, each in ipairs(cjson.decode(redis.call('HGET', revocation, 'user_ids'))) do
  if each ~= ARGV[1] then others[#others + 1] = each end
end
if #others == 0 then
  redis.call('DEL', unpack(KEYS))
  return 1
end
redis.call('HSET', revocation, 'user_ids', cjson.encode(others))
for id, raw in pairs(fields_of(deliveries)) do
  if cjson.decode(raw).user_id == ARGV[1] then redis.call('HDEL', deliveries, id) end
end
return 1
