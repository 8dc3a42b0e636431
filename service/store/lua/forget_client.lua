-- Forget whether a removed application can be told; what waits for it is looked at now, and found to be owed to nobody.
-- KEYS  due, backlog, health, states
-- ARGV  client_id, entry
-- Returns how many wait
local due, backlog, health, states = unpack(KEYS)
redis.call('DEL', health)
redis.call('HDEL', states, ARGV[1])
local count = redis.call('ZCARD', backlog)
if count > 0 then redis.call('ZADD', due, 'LT', 0, ARGV[2]) end
return count
