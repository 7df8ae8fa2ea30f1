-- include: ledger window append
-- ARGV: key epoch wait max_wait max_items max_bytes id_ttl
-- returns number of items that are open again
local key, epoch, p, n = ARGV[2], ARGV[3], policy(unpack(ARGV, 4, 8)), 0
local d = P..'d:'..key..':'..epoch
for _, e in ipairs(C('LRANGE', d, 1, -1)) do
  local id = e:sub(14, 29)
  if C('GET', P..'i:'..id) == epoch then C('DEL', P..'i:'..id) end
  if append(key, id, e:sub(30), p)[1] ~= 'duplicate' then n = n + 1 end
end
drain()
C('DEL', d); C('ZREM', P..'dead', key..':'..epoch)
return n
