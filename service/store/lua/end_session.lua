-- End one session and all its tokens, offline ones too.
-- KEYS  revocations, session
-- ARGV  revocation_id, now_ms, accepted_at_ms, forget_before_ms
-- Returns the moment from which it holds, in ms
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 0 then return ARGV[2] end
if redis.call('HSETNX', KEYS[2], 'ended_at_ms', ARGV[2]) == 1 then redis.call('HSET', KEYS[2], 'ended_by', ARGV[1]) end
redis.call('HSET', KEYS[2], 'ends_offline', '1')
return redis.call('HGET', KEYS[2], 'ended_at_ms')
