-- Tidy up after a revocation: tokens go, sessions stay behind as ended until their time is up.
-- KEYS  person, sessions
-- ARGV  revocation_id, ended_at_ms, session_id, …
-- Returns the number of tokens deleted
local person, sessions = KEYS[1], KEYS[2]
local deleted = 0
for i = 3, #ARGV do
  local key = person .. ':session:' .. ARGV[i]
  if redis.call('EXISTS', key) == 1 then
    if redis.call('HSETNX', key, 'ended_at_ms', ARGV[2]) == 1 then redis.call('HSET', key, 'ended_by', ARGV[1]) end
    redis.call('HSET', key, 'ends_offline', '1')
  end
  for _, hash in ipairs(redis.call('SMEMBERS', key .. ':tokens')) do
    local token = person .. ':token:' .. hash
    local family = redis.call('HGET', token, 'family_id')
    -- What was rotated into it stays behind, as dead as its session, until its time is up.
    if family then redis.call('DEL', person .. ':family:' .. family, person .. ':family:' .. family .. ':tokens') end
    deleted = deleted + redis.call('DEL', token)
  end
  redis.call('DEL', key .. ':tokens')
  redis.call('ZREM', sessions, ARGV[i])
end
return deleted
