-- include: ledger
-- ARGV: key
-- returns number of open and buried items that were dropped
drain()
local key, n = ARGV[2], 0
local function drop(list, from)
  for _, x in ipairs(C('LRANGE', list, from, -1)) do n = n + 1; C('DEL', P..'i:'..x:sub(14, 29)) end
  C('DEL', list)
end
drop(P..'l:'..key, 0)
for _, epoch in ipairs(C('ZRANGE', P..'e:'..key, 0, -1)) do
  drop(P..'d:'..key..':'..epoch, 1)
  C('DEL', P..'r:'..key..':'..epoch); C('ZREM', P..'dead', key..':'..epoch)
end
C('DEL', P..'k:'..key, P..'e:'..key, P..'h:'..(key:match('/(.*)$') or '')); C('ZREM', KEYS[1], key)
return n
