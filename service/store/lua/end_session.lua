-- End one session and all its tokens, offline ones too.
-- KEYS  person, revocations, session
-- ARGV  revocation_id, now_ms, accepted_at_ms, forget_before_ms
-- Returns 1 | 0 when the session was forgotten or had ended before
local person, revocations, session = unpack(KEYS)
redis.call('ZADD', revocations, ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', revocations, '-inf', '(' .. ARGV[4])
local stamp = tonumber(redis.call('HGET', session, 'stamp') or false)
if not stamp then return 0 end
-- What a revocation has cut off is that one's to end and to count, even before anybody has tidied up.
local fields = fields_of(session)
redis.call('HSET', session, 'ends_offline', '1')
if not is_cut_off(person, fields, stamp, true) then redis.call('HSETNX', session, 'offline_ended_by', ARGV[1]) end
if is_cut_off(person, fields, stamp, false) then return 0 end
local ended_now = redis.call('HSETNX', session, 'ended_at_ms', ARGV[2])
if ended_now == 1 then redis.call('HSET', session, 'ended_by', ARGV[1]) end
return ended_now
