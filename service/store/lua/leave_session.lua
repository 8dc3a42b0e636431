-- An application leaves a session: its refresh tokens there end, offline ones too, and it holds nothing to be told of.
-- KEYS  person, session, session clients, session tokens, participation, its untils, its counts, participation-lost
-- ARGV  client_id, client json it is in the session with, participation field
-- Returns {token hash that ended, …}; empty also when it is not in it (any more) by these names
local person, session, clients, tokens = unpack(KEYS)
local participation, client, field = {unpack(KEYS, 5)}, ARGV[1], ARGV[3]
if redis.call('HGET', clients, client) ~= ARGV[2] then return {} end
local fields, ended = fields_of(session), {}
-- At time zero nothing has expired: what has merely run out of time may be left. What a revocation has ended is that one's to
-- count and to delete.
for _, hash in ipairs(redis.call('SMEMBERS', tokens)) do
  local key = person .. ':token:' .. hash
  local token = fields_of(key)
  if token.client_id == client and token_is_active(person, fields, token, 0) then
    redis.call('DEL', key)
    redis.call('SREM', tokens, hash)
    -- With its family: a token it was rotated from would else seem to have been stolen when it comes again.
    local family = person .. ':family:' .. (token.family_id or '')
    if redis.call('EXISTS', family) == 1 then redis.call('HSETNX', family, 'ended_by', '') end
    table.insert(ended, hash)
  end
end
if session_is_active(person, fields, 0) then
  redis.call('HDEL', clients, client)
  forget_entry(participation, field)
  return ended
end
-- Whoever a revocation has cut off is owed a logout token, and stays on the list of those to tell until it has one. It is
-- not on it for the sake of offline tokens any more.
local raw = redis.call('HGET', participation[1], field)
local entry = raw and cjson.decode(raw)
if entry and entry.offline_only then
  forget_entry(participation, field)
elseif entry and #ended > 0 then
  entry.offline_until_ms = nil
  redis.call('HSET', participation[1], field, cjson.encode(entry))
end
return ended
