-- A page of a sorted set, from an entry on that may be gone meanwhile. O(log n) and the page itself.
-- KEYS  zset
-- ARGV  way (`up` or `down`), limit, score, member (of the entry before the page; both empty: from the beginning)
-- Returns {member, score, …}, at most limit + 1 entries: one more than the page when it is not the last
local way, limit, score, member = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- Lua compares by locale, Redis sorts equal scores by bytes.
local function before(one, other)
  for place = 1, math.min(#one, #other) do
    local first, second = one:byte(place), other:byte(place)
    if first ~= second then return first < second end
  end
  return #one < #other
end

local function rank_of_first(follows, low, high)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if follows(redis.call('ZRANGE', KEYS[1], middle, middle)[1]) then high = middle else low = middle + 1 end
  end
  return low
end

if score == '' then
  local range = way == 'up' and 'ZRANGE' or 'ZREVRANGE'
  return redis.call(range, KEYS[1], 0, limit, 'WITHSCORES')
end
local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
local high = redis.call('ZCOUNT', KEYS[1], '-inf', score)
if way == 'up' then
  local first = rank_of_first(function(each) return before(member, each) end, low, high)
  return redis.call('ZRANGE', KEYS[1], first, first + limit, 'WITHSCORES')
end
local last = rank_of_first(function(each) return not before(each, member) end, low, high) - 1
if last < 0 then return {} end
local from_the_end = redis.call('ZCARD', KEYS[1]) - 1 - last
return redis.call('ZREVRANGE', KEYS[1], from_the_end, from_the_end + limit, 'WITHSCORES')
