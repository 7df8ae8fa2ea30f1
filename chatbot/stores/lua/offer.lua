-- include: ledger window append
-- ARGV per item: key id body wait max_wait max_items max_bytes id_ttl max_buffered max_buffered_bytes mode(queue|supersede|amend:<id>|withdraw:<id>)
-- returns per item {opened|joined|full|amended|withdrawn|late|overflow} or {duplicate, epoch (0 = still open, -1 = an edit, or withdrawn)}
local out = {}
for a = 2, #ARGV, 11 do out[#out+1] = append(unpack(ARGV, a, a + 10)) end
return out
