-- Take deliveries in hand: each is one worker's until its lease ends.
-- KEYS  deliveries, leases
-- ARGV  now_ms, lease_until_ms, delivery_id, … (none: all of the revocation's)
-- Returns {json, …} of those that are open, due and not in another's hands
local deliveries, leases = KEYS[1], KEYS[2]
local now = tonumber(ARGV[1])
local wanted, claimed = {}, {}
for i = 3, #ARGV do table.insert(wanted, ARGV[i]) end
if #wanted == 0 then wanted = redis.call('HKEYS', deliveries) end
for _, id in ipairs(wanted) do
  local raw = redis.call('HGET', deliveries, id)
  local held_until = number_at(leases, id)
  if raw and held_until <= now then
    local delivery = cjson.decode(raw)
    local due = delivery.next_attempt_at_ms == cjson.null or delivery.next_attempt_at_ms <= now
    if (delivery.state == 'pending' or delivery.state == 'retrying') and due then
      redis.call('HSET', leases, id, ARGV[2])
      table.insert(claimed, raw)
    end
  end
end
return claimed
