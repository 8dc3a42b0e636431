-- Which of some sessions a revocation ended, and which refresh tokens with them; read before anything is deleted.
-- KEYS  person, cutoffs
-- ARGV  revocation_id, now_ms, '1' when it ended one session only, session_id, …
-- Returns json {{id, active, tokens = {hash, …}, live_tokens}, …}
local person, cutoffs = KEYS[1], KEYS[2]
local id, now, one_only = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local through = tonumber(redis.call('ZSCORE', cutoffs, id) or false)

-- Each session is counted by one revocation: the one that ended it, or the earliest cut at or after its stamp.
local function belongs(session)
  if session.ended_by then return session.ended_by == id end
  if one_only or not through or tonumber(session.stamp) > through then return false end
  return redis.call('ZRANGEBYSCORE', cutoffs, session.stamp, '+inf', 'LIMIT', 0, 1)[1] == id
end

local found = {}
for i = 4, #ARGV do
  local key = person .. ':session:' .. ARGV[i]
  local session = fields_of(key)
  if session.stamp and belongs(session) then
    local tokens, live = redis.call('SMEMBERS', key .. ':tokens'), 0
    for _, hash in ipairs(tokens) do
      local token = redis.call('HMGET', person .. ':token:' .. hash, 'stamp', 'expires_at_ms', 'ended_at_ms', 'offline')
      local outlived = token[4] ~= '1' and tonumber(session.expires_at_ms) <= now
      if token[1] and not token[3] and tonumber(token[2]) > now and not outlived then live = live + 1 end
    end
    local active = tonumber(session.expires_at_ms) > now and (not session.ended_at_ms or session.ended_by == id)
    table.insert(found, {id = ARGV[i], active = active, tokens = tokens, live_tokens = live})
  end
end
return cjson.encode(found)
