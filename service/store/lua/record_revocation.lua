-- Record a revocation once; a repeat finds the first. It has no expiry until it is finished: what is owed is not forgotten.
-- KEYS  revocation
-- ARGV  json {field = value}
-- Returns the revocation's fields
if redis.call('EXISTS', KEYS[1]) == 0 then
  for field, value in pairs(cjson.decode(ARGV[1])) do redis.call('HSET', KEYS[1], field, value) end
end
return redis.call('HGETALL', KEYS[1])
