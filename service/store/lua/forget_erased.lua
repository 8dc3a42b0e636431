-- Forget what applications held of somebody up to the moment they were erased; what a sign-in has added since stays.
-- KEYS  person, participation, its untils, its counts, participation-lost
-- ARGV  none
-- Returns the number of entries dropped
local through, participation, dropped = number_at(KEYS[1], 'erased_through'), {unpack(KEYS, 2)}, 0
for field, raw in pairs(fields_of(participation[1])) do
  if cjson.decode(raw).stamp <= through then dropped = dropped + forget_entry(participation, field) end
end
return dropped
