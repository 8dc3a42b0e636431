-- Note that a worker puts a revocation into force that was recorded and, a crash between, not cut off: whoever asked for it was
-- never answered. Of one that is in force it is not true.
-- KEYS  revocation
-- ARGV  none
-- Returns 1 | 0 when it is in force, or its receipt has expired
local revocation = KEYS[1]
if redis.call('EXISTS', revocation) == 0 or redis.call('HEXISTS', revocation, 'revoked_at_ms') == 1 then return 0 end
redis.call('HSET', revocation, 'late', '1')
return 1
