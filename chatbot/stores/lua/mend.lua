-- include: ledger window
-- ARGV: cursor of SCAN, how many of the server's keys one step looks at
-- returns {next cursor, states seen, states that were missing from `due`}
-- A pump finds a mended key at once, and computes when it is really due.
drain()
local pattern = P:gsub('[%*%?%[%]%^\\]', '\\%0')..'k:*'
local step, mended = C('SCAN', ARGV[2], 'MATCH', pattern, 'COUNT', ARGV[3]), 0
for _, name in ipairs(step[2]) do
  local key = name:sub(#P + 3)
  if not C('ZSCORE', KEYS[1], key) then look(key, now); keep(key); mended = mended + 1 end
end
return {step[1], #step[2], mended}
