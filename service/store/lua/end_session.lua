-- End one session and all its tokens, offline ones too.
-- KEYS  revocations, session
-- ARGV  revocation_id, now_ms, accepted_at_ms, forget_before_ms
-- Returns 1 | 0 when the session was forgotten or had ended before
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local ended_now = redis.call('HSETNX', KEYS[2], 'ended_at_ms', ARGV[2])
if ended_now == 1 then redis.call('HSET', KEYS[2], 'ended_by', ARGV[1]) end
redis.call('HSET', KEYS[2], 'ends_offline', '1')
return ended_now
