-- Send an application nothing more, by an operator's word.
-- KEYS  health, states
-- ARGV  client_id, now_ms, reason ('': none)
-- Returns 1 | 0 when it was paused before; the reason is the later one then
local health, states = KEYS[1], KEYS[2]
local first = redis.call('HSETNX', health, 'paused_at_ms', ARGV[2])
if ARGV[3] == '' then redis.call('HDEL', health, 'pause_reason') else redis.call('HSET', health, 'pause_reason', ARGV[3]) end
redis.call('HSET', states, ARGV[1], 'paused')
return first
