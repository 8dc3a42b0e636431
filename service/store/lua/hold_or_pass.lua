-- May this connection have these people signed out? Beyond so many within a window it is held: from then on nothing passes
-- until the hold is ended. O(people of this request).
-- KEYS  people, hold (of one connection)
-- ARGV  now_ms, window_ms, most people, '1' once the connection is listed among those that may be held, user_id …
-- Returns 'passed' | 'began' | 'held' | 'unlisted' where a hold would begin that nobody could find
local people, hold = unpack(KEYS)
local now, window, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local since = redis.call('HGET', hold, 'since_ms')
-- Sent again after a lost reply it says so again.
if since then return since == ARGV[1] and 'began' or 'held' end
redis.call('ZREMRANGEBYSCORE', people, '-inf', whole(now - window))
local count = redis.call('ZCARD', people)
for place = 5, #ARGV do
  if not redis.call('ZSCORE', people, ARGV[place]) then count = count + 1 end
end
if count > most then
  if ARGV[4] ~= '1' then return 'unlisted' end
  redis.call('HSET', hold, 'since_ms', whole(now))
  return 'began'
end
for place = 5, #ARGV do redis.call('ZADD', people, whole(now), ARGV[place]) end
redis.call('PEXPIRE', people, whole(window))
return 'passed'
