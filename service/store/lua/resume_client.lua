-- Tell an application again what it is owed: lift a pause and a suspension, end the rest it asked for, and probe at once when its
-- breaker is open.
-- KEYS  due, backlog, health, states
-- ARGV  client_id, entry, now_ms, lift ('0': probe only, and leave a pause and a suspension as they are)
-- Returns 1 | 0 when there was nothing to do
local due, backlog, health, states = unpack(KEYS)
local known, lift = fields_of(health), ARGV[4] == '1'
local rested = (tonumber(known.rest_until_ms or false) or 0) > tonumber(ARGV[3])
redis.call('HDEL', health, 'rest_until_ms')
if not (known.paused_at_ms and lift) and not known.opened_at_ms and not rested then return 0 end
if lift then
  if known.paused_at_ms then redis.call('HSET', health, 'resumed_at_ms', ARGV[3]) end
  redis.call('HDEL', health, 'paused_at_ms', 'pause_reason', 'suspended_at_ms')
  redis.call('HDEL', states, ARGV[1])
  if known.opened_at_ms then
    -- The days until a suspension count anew: the operator knows of those before.
    redis.call('HSET', health, 'failing_since_ms', ARGV[3])
    redis.call('HSET', states, ARGV[1], 'circuit_open')
  end
end
if known.opened_at_ms then
  redis.call('HDEL', health, 'probes')
  redis.call('HSET', health, 'next_probe_at_ms', ARGV[3])
end
if redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, 'LT', ARGV[3], ARGV[2]) end
return 1
