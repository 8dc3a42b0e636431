-- Give a token a place among those kept for its connection, once, if there is one.
-- KEYS  kept-of
-- ARGV  kept_id, now_ms, kept_ms, most
-- Returns 'listed' | 'full'
local listed, id, now, kept = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', listed, '-inf', whole(now - kept))
if redis.call('ZSCORE', listed, id) then return 'listed' end
if redis.call('ZCARD', listed) >= tonumber(ARGV[4]) then return 'full' end
redis.call('ZADD', listed, ARGV[2], id)
redis.call('PEXPIRE', listed, ARGV[3])
return 'listed'
