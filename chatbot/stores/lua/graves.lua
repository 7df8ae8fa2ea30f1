-- include: ledger
-- ARGV: key (empty: of all), how many at most
-- returns per buried turn, newest first: {key, epoch, ms when, reason, items}; reads only
local key, most, names, out = ARGV[2], tonumber(ARGV[3]), {}, {}
if key == '' then names = C('ZREVRANGE', P..'dead', 0, most - 1)
else for _, epoch in ipairs(C('ZREVRANGE', P..'e:'..key, 0, -1)) do names[#names+1] = key..':'..epoch end end
for _, name in ipairs(names) do
  local at, size = C('ZSCORE', P..'dead', name), C('LLEN', P..'d:'..name)
  if at and size > 0 and #out < most then
    local of, epoch = name:match('^(.*):(%d+)$')
    out[#out+1] = {of, epoch, at, C('LINDEX', P..'d:'..name, 0), size - 1}
  end
end
return out
