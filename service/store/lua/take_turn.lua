-- Take one of the turns an application gives to the whole fleet: so many at once, and so many a second.
-- KEYS  turns, pace
-- ARGV  attempt, now_ms, lease_until_ms, most at once (0: any number), interval_us (0: any rate), patience_ms
-- Returns {'taken', ms to wait before sending} | {'busy', 0} | {'rate_limited', ms until one could be had}
local turns, pace = KEYS[1], KEYS[2]
local attempt, now, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most, interval, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if most > 0 then
  -- Those of workers that died.
  redis.call('ZREMRANGEBYSCORE', turns, '-inf', ARGV[2])
  if not redis.call('ZSCORE', turns, attempt) and redis.call('ZCARD', turns) >= most then return {'busy', 0} end
end
local wait = 0
if interval > 0 then
  local known, now_us = fields_of(pace), now * 1000
  local at_us = math.max(now_us, tonumber(known.next_us or false) or 0)
  if known.attempt == attempt then at_us = math.max(now_us, tonumber(known.at_us or false) or 0) end
  wait = math.ceil((at_us - now_us) / 1000)
  if known.attempt ~= attempt then
    if wait > patience then return {'rate_limited', wait} end
    redis.call('HSET', pace, 'next_us', whole(at_us + interval), 'attempt', attempt, 'at_us', whole(at_us))
    redis.call('PEXPIREAT', pace, whole(math.ceil((at_us + interval) / 1000) + lease - now))
  end
end
if most > 0 then
  redis.call('ZADD', turns, whole(lease), attempt)
  redis.call('PEXPIREAT', turns, whole(lease))
end
return {'taken', wait}
