-- Write down, once, what a revocation ended and what it owes to whom.
-- KEYS  revocation, deliveries
-- ARGV  now_ms, keep_until_ms, sessions_ended, refresh_tokens_revoked, number still open, delivery_id, json, …
-- Returns the revocation's state: 'notifying', or 'completed' when nobody is to be told
local revocation, deliveries = KEYS[1], KEYS[2]
if redis.call('HEXISTS', revocation, 'open') == 1 then return redis.call('HGET', revocation, 'state') end
for i = 6, #ARGV, 2 do redis.call('HSET', deliveries, ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIREAT', deliveries, ARGV[2])
local state = ARGV[5] == '0' and 'completed' or 'notifying'
redis.call('HSET', revocation, 'sessions_ended', ARGV[3], 'refresh_tokens_revoked', ARGV[4], 'open', ARGV[5], 'dead', 0,
  'state', state)
if state == 'completed' then redis.call('HSET', revocation, 'completed_at_ms', ARGV[1]) end
return state
