-- Note what an attempt says of its application: it answered, or nobody did, or neither; and until when it asks to be left alone.
-- Once for each attempt.
-- KEYS  due, backlog, health, states, removed
-- ARGV  client_id, entry, result ('answered' | 'failed' | 'neither'), attempt, now_ms, opens_after, first_probe_ms, longest_probe_ms,
--       suspend_after_ms (0: never), suspended_probe_ms, uninterrupted_ms, rest_until_ms (0: it does not ask for that)
-- Returns 'same' | 'closed' | 'opened' | 'probed' | 'suspended'
local due, backlog, health, states, removed = unpack(KEYS)
-- Nothing is known of an application that is gone, and nobody would ever forget it again.
if redis.call('EXISTS', removed) == 1 then return 'same' end
local client, entry, result, attempt, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local known = fields_of(health)
local rest = math.max(tonumber(ARGV[12]), tonumber(known.rest_until_ms or false) or 0)
if rest > now then redis.call('HSET', health, 'rest_until_ms', whole(rest))
elseif known.rest_until_ms then redis.call('HDEL', health, 'rest_until_ms') end
if result == 'neither' then
  -- A probe that has found nothing out is over: the next comes when the application has asked for it, or after a pause.
  if known.opened_at_ms and known.probe == attempt then
    local again = rest > now and rest or now + tonumber(ARGV[7])
    if known.suspended_at_ms then again = math.max(rest, now + tonumber(ARGV[10])) end
    redis.call('HDEL', health, 'probe', 'probing_until_ms')
    redis.call('HSET', health, 'next_probe_at_ms', whole(again))
    if not known.paused_at_ms and redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, 'LT', whole(again), entry) end
  end
  return 'same'
end

if result == 'answered' then
  if not known.failures then return 'same' end
  redis.call('HDEL', health, 'failures', 'failing_since_ms', 'last_failed_at_ms', 'last_failed', 'opened_at_ms', 'probes',
    'next_probe_at_ms', 'probe', 'probing_until_ms', 'suspended_at_ms')
  if known.paused_at_ms then return 'same' end
  redis.call('HDEL', states, client)
  if redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, 'LT', whole(now), entry) end
  return known.opened_at_ms and 'closed' or 'same'
end

if known.last_failed == attempt then return 'same' end
local last = tonumber(known.last_failed_at_ms or false)
if not last or now - last > tonumber(ARGV[11]) then redis.call('HSET', health, 'failing_since_ms', whole(now)) end
redis.call('HSET', health, 'last_failed', attempt, 'last_failed_at_ms', whole(now))
local failures = redis.call('HINCRBY', health, 'failures', 1)

local change, pause = 'same', tonumber(ARGV[7])
if known.opened_at_ms then
  if known.probe ~= attempt then return 'same' end
  -- Far from where a doubling would stop being a whole number.
  local probes = math.min(redis.call('HINCRBY', health, 'probes', 1), 30)
  pause = math.min(pause * 2 ^ probes, tonumber(ARGV[8]))
  redis.call('HDEL', health, 'probe', 'probing_until_ms')
  change = 'probed'
elseif failures >= tonumber(ARGV[6]) then
  redis.call('HSET', health, 'opened_at_ms', whole(now))
  change = 'opened'
else
  return 'same'
end

local failing_ms = now - number_at(health, 'failing_since_ms')
if known.suspended_at_ms or (tonumber(ARGV[9]) > 0 and failing_ms >= tonumber(ARGV[9])) then
  if redis.call('HSETNX', health, 'suspended_at_ms', whole(now)) == 1 then change = 'suspended' end
  pause = tonumber(ARGV[10])
end
local probe_at = math.max(now + pause, rest)
redis.call('HSET', health, 'next_probe_at_ms', whole(probe_at))
if not known.paused_at_ms then
  redis.call('HSET', states, client, redis.call('HEXISTS', health, 'suspended_at_ms') == 1 and 'suspended' or 'circuit_open')
  if redis.call('EXISTS', backlog) == 1 then redis.call('ZADD', due, whole(probe_at), entry) end
end
return change
