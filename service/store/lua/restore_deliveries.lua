-- Have open deliveries of one application looked at, unless the due index has them or its backlog has; and the backlog itself.
-- KEYS  due, backlog
-- ARGV  entry, at_ms, delivery_id, …
-- Returns {delivery_id, …} of those that do not wait in the backlog
local due, backlog = KEYS[1], KEYS[2]
local free = {}
for i = 3, #ARGV do
  if not redis.call('ZSCORE', backlog, ARGV[i]) then
    redis.call('ZADD', due, 'NX', ARGV[2], ARGV[i])
    table.insert(free, ARGV[i])
  end
end
if redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, 'NX', ARGV[2], ARGV[1]) end
return free
