-- Take one of the turns an application gives to the whole fleet: so many at once, and so many a second.
-- KEYS  turns, pace
-- ARGV  attempt, now_ms, lease_until_ms, most at once (0: any number), interval_ms (0: any rate), patience_ms
-- Returns {'taken', ms to wait before sending} | {'busy', 0} | {'rate_limited', ms until one could be had}
local turns, pace = KEYS[1], KEYS[2]
local attempt, now, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most, interval, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if most > 0 then
  -- Those of workers that died.
  redis.call('ZREMRANGEBYSCORE', turns, '-inf', ARGV[2])
  if not redis.call('ZSCORE', turns, attempt) and redis.call('ZCARD', turns) >= most then return {'busy', 0} end
end
local at = now
if interval > 0 then
  local known = fields_of(pace)
  at = math.max(now, tonumber(known.next_ms or false) or 0)
  if known.attempt == attempt then
    at = math.max(now, tonumber(known.at_ms))
  elseif at - now > patience then
    return {'rate_limited', at - now}
  else
    redis.call('HSET', pace, 'next_ms', whole(at + interval), 'attempt', attempt, 'at_ms', whole(at))
    redis.call('PEXPIREAT', pace, whole(at + interval + lease - now))
  end
end
if most > 0 then
  redis.call('ZADD', turns, whole(lease), attempt)
  redis.call('PEXPIREAT', turns, whole(lease))
end
return {'taken', at - now}
