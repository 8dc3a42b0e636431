-- Record a revocation once; a repeat finds the first.
-- KEYS  revocation
-- ARGV  keep_until_ms, json {field = value}
-- Returns the revocation's fields
if redis.call('EXISTS', KEYS[1]) == 0 then
  for field, value in pairs(cjson.decode(ARGV[2])) do redis.call('HSET', KEYS[1], field, value) end
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return redis.call('HGETALL', KEYS[1])
