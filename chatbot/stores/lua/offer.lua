-- include: ledger window append
-- ARGV per item: key id body policy; a policy is
-- `wait max_wait max_items max_bytes id_ttl max_buffered max_buffered_bytes queue|supersede|amend:<id>|withdraw:<id>`
-- returns per item {opened|joined|full|amended|withdrawn|late|overflow} or {duplicate, epoch (0 = still open, -1 = an edit, or withdrawn)}
local out, policies = {}, {}
for a = 2, #ARGV, 4 do
  local said = ARGV[a + 3]
  policies[said] = policies[said] or policy(said:match(('(%S+) '):rep(7)..'(%S+)'))
  out[#out+1] = append(ARGV[a], ARGV[a + 1], ARGV[a + 2], policies[said])
end
drain()
return out
