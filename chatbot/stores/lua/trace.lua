-- include: ledger
-- ARGV: key id
-- returns {} (unknown) {0, ttl, place, arrival ms} {epoch, ttl, ok|dead|'', owner}; reads only
local key, id = ARGV[2], ARGV[3]
local seen, ttl = C('GET', P..'i:'..id), C('PTTL', P..'i:'..id)
if not seen then return {} end
if seen ~= '0' then
  local how, owner = (C('GET', P..'r:'..key..':'..seen) or ''):match('^(%a+)\n([^\n]*)')
  return {seen, ttl, how or '', owner or ''}
end
for place, e in ipairs(C('LRANGE', P..'l:'..key, 0, -1)) do
  if e:sub(14, 29) == id then return {seen, ttl, place - 1, e:sub(1, 13)} end
end
return {seen, ttl, '', ''}
