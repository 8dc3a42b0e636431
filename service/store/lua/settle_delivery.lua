-- Record an attempt's outcome, with the rows that take the delivery's place if it was closed for those; when the last open
-- delivery closes, close the revocation, whose receipt lives on from there.
-- KEYS  revocation, deliveries, leases
-- ARGV  delivery_id, lease_until_ms it was claimed with, json, closed ('1'), dead ('1'), now_ms, keep_until_ms,
--       {delivery_id, json of a row} …
-- Returns 'lost' when the lease had passed to another | the revocation's state, also when this very call had been made before
local revocation, deliveries, leases = unpack(KEYS)
local lease = redis.call('HGET', leases, ARGV[1])
if not lease and redis.call('HGET', deliveries, ARGV[1]) == ARGV[3] then return redis.call('HGET', revocation, 'state') end
if lease ~= ARGV[2] or redis.call('EXISTS', revocation) == 0 then return 'lost' end
redis.call('HDEL', leases, ARGV[1])
redis.call('HSET', deliveries, ARGV[1], ARGV[3])
-- Before this one is closed: at no moment is what it owed owed by nobody.
for i = 8, #ARGV, 2 do
  if redis.call('HSETNX', deliveries, ARGV[i], ARGV[i + 1]) == 1 then
    local counted = cjson.decode(ARGV[i + 1]).state == 'dead' and 'dead' or 'open'
    redis.call('HINCRBY', revocation, counted, 1)
  end
end
if ARGV[5] == '1' then redis.call('HINCRBY', revocation, 'dead', 1) end
if ARGV[4] == '1' and redis.call('HINCRBY', revocation, 'open', -1) <= 0 then
  local state = number_at(revocation, 'dead') > 0 and 'incomplete' or 'completed'
  redis.call('HSET', revocation, 'state', state, 'completed_at_ms', ARGV[6])
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, ARGV[7]) end
end
return redis.call('HGET', revocation, 'state')
