-- Write down, once, what a revocation ended and what it owes to whom; what is open is leased to the planner.
-- KEYS  revocation, deliveries, leases
-- ARGV  now_ms, keep_until_ms when nobody is to be told, sessions_ended, refresh_tokens_revoked, number open,
--       lease_until_ms, delivery_id of each open one, …, then delivery_id, json of each one, …
-- Returns 1 | 0 when there was a plan already, which stays
local revocation, deliveries, leases = unpack(KEYS)
local open = tonumber(ARGV[5])
if redis.call('HEXISTS', revocation, 'open') == 1 then return 0 end
for i = 7, 6 + open do redis.call('HSET', leases, ARGV[i], ARGV[6]) end
for i = 7 + open, #ARGV, 2 do redis.call('HSET', deliveries, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', revocation, 'sessions_ended', ARGV[3], 'refresh_tokens_revoked', ARGV[4], 'open', open, 'dead', 0)
if open > 0 then
  redis.call('HSET', revocation, 'state', 'notifying')
else
  redis.call('HSET', revocation, 'state', 'completed', 'completed_at_ms', ARGV[1])
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ARGV[2]) end
end
return 1
