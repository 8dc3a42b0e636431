-- Take what is overdue, and hide it from the other sweepers for a while.
-- KEYS  due
-- ARGV  now_ms, hidden_until_ms, limit
-- Returns {id, …}
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], 'XX', ARGV[2], id) end
return ids
