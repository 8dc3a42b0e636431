-- Which of some sessions are honoured, and when each refresh token in them that is was issued; nothing is changed.
-- KEYS  person
-- ARGV  now_ms, session_id, …
-- Returns json {{id, active, live_tokens = {client_id = {issued_at_ms, …}}}, …}, without sessions that were forgotten
local now, person = tonumber(ARGV[1]), KEYS[1]
local found = {}
for i = 2, #ARGV do
  local key = person .. ':session:' .. ARGV[i]
  local session, live = fields_of(key), {}
  for _, hash in ipairs(redis.call('SMEMBERS', key .. ':tokens')) do
    local token = fields_of(person .. ':token:' .. hash)
    if token_is_active(person, session, token, now) then
      live[token.client_id] = live[token.client_id] or {}
      table.insert(live[token.client_id], tonumber(token.issued_at_ms))
    end
  end
  if session.stamp then
    table.insert(found, {id = ARGV[i], active = session_is_active(person, session, now), live_tokens = live})
  end
end
return cjson.encode(found)
