-- Replace a record unless somebody has changed it since it was read.
-- KEYS  record
-- ARGV  the revision that was read, json
-- Returns 'replaced' | 'changed' | 'missing'; sent again after a lost reply: 'replaced'
local stored = redis.call('GET', KEYS[1])
if not stored then return 'missing' end
if stored == ARGV[2] then return 'replaced' end
if tostring(cjson.decode(stored).revision or 1) ~= ARGV[1] then return 'changed' end
redis.call('SET', KEYS[1], ARGV[2])
return 'replaced'
