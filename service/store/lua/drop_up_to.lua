-- Drop entries of an index, but not one that has been entered anew since: by its score.
-- KEYS  zset
-- ARGV  greatest score, member, …
-- Returns the number dropped
local dropped = 0
for i = 1, #ARGV, 2 do
  local score = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i + 1]) or false)
  if score and score <= tonumber(ARGV[i]) then dropped = dropped + redis.call('ZREM', KEYS[1], ARGV[i + 1]) end
end
return dropped
