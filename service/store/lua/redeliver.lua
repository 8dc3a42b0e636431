-- Try a delivery anew, by itself or by the rows that take its place: record it as open, and its revocation as unfinished, which
-- no longer expires. All of it, or nothing when anybody has changed it since it was read.
-- KEYS  revocation, deliveries, leases
-- ARGV  now_ms, then delivery_id, json as it was read ('' where there was none), json, …
-- Returns 'redelivered', also when this very call had been made before | 'changed' | 'missing' when the receipt has expired
local revocation, deliveries = KEYS[1], KEYS[2]
if redis.call('EXISTS', revocation) == 0 then return 'missing' end
local function stored(id) return redis.call('HGET', deliveries, id) or '' end
if stored(ARGV[2]) == ARGV[4] then return 'redelivered' end
for i = 2, #ARGV, 3 do
  if stored(ARGV[i]) ~= ARGV[i + 1] then return 'changed' end
end
local opened, dead = 0, 0
for i = 2, #ARGV, 3 do
  redis.call('HSET', deliveries, ARGV[i], ARGV[i + 2])
  if cjson.decode(ARGV[i + 2]).state == 'pending' then opened = opened + 1 end
  if ARGV[i + 1] ~= '' and cjson.decode(ARGV[i + 1]).state == 'dead' then dead = dead - 1 end
end
redis.call('HINCRBY', revocation, 'open', opened)
redis.call('HINCRBY', revocation, 'dead', dead)
redis.call('HSET', revocation, 'state', 'notifying', 'redelivered_at_ms', ARGV[1])
redis.call('HDEL', revocation, 'completed_at_ms')
for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
return 'redelivered'
