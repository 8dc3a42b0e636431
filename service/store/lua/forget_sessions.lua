-- Tidy up after a revocation: its tokens go, sessions stay behind as ended until their time is up.
-- KEYS  person, sessions
-- ARGV  revocation_id, ended_at_ms, json {{id, ended, offline_ended, tokens = {hash, …}}, …}
-- Returns the number of tokens deleted
local person, sessions = KEYS[1], KEYS[2]
local deleted = 0
for _, each in ipairs(cjson.decode(ARGV[3])) do
  local key = person .. ':session:' .. each.id
  if redis.call('EXISTS', key) == 1 then
    if each.ended and redis.call('HSETNX', key, 'ended_at_ms', ARGV[2]) == 1 then
      redis.call('HSET', key, 'ended_by', ARGV[1])
    end
    if each.offline_ended then
      redis.call('HSET', key, 'ends_offline', '1')
      redis.call('HSETNX', key, 'offline_ended_by', ARGV[1])
    end
  end
  for _, hash in ipairs(each.tokens) do
    local token = person .. ':token:' .. hash
    local family = redis.call('HGET', token, 'family_id')
    -- What was rotated into it stays behind, as dead as its session, until its time is up.
    if family then redis.call('DEL', person .. ':family:' .. family, person .. ':family:' .. family .. ':tokens') end
    deleted = deleted + redis.call('DEL', token)
    redis.call('SREM', key .. ':tokens', hash)
  end
  -- What still has tokens is still to be found by the revocation that ends those.
  if redis.call('EXISTS', key .. ':tokens') == 0 and redis.call('HEXISTS', key, 'ended_at_ms') == 1 then
    redis.call('ZREM', sessions, each.id)
  end
end
return deleted
