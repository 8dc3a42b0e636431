-- An application leaves a session: its refresh tokens there end, offline ones too, and it holds nothing to be told of.
-- KEYS  person, session, session clients, session tokens, participation, its untils, its counts
-- ARGV  client_id, client json it is in the session with, participation field
-- Returns {token hash that ended, …}; empty also when a revocation came first, or it is not in it (any more) by these names
local person, session, clients, tokens = unpack(KEYS)
-- Whoever a revocation has cut off is owed a logout token, and stays on the list of those to tell until it has one. At time
-- zero nothing has expired: what has merely run out of time may be left.
if not session_is_active(fields_of(person), fields_of(session), 0) then return {} end
if redis.call('HGET', clients, ARGV[1]) ~= ARGV[2] then return {} end
redis.call('HDEL', clients, ARGV[1])
forget_entry({unpack(KEYS, 5)}, ARGV[3])
local ended = {}
for _, hash in ipairs(redis.call('SMEMBERS', tokens)) do
  local token = person .. ':token:' .. hash
  if redis.call('HGET', token, 'client_id') == ARGV[1] then
    redis.call('DEL', token)
    redis.call('SREM', tokens, hash)
    table.insert(ended, hash)
  end
end
return ended
