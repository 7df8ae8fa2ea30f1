-- include: ledger
-- ARGV: key
-- returns {now, score in due or '', length of the list, then the fields of the state}; reads only
local key = ARGV[2]
local out = {now, C('ZSCORE', KEYS[1], key) or '', C('LLEN', P..'l:'..key)}
for _, v in ipairs(C('HMGET', P..'k:'..key, 'epoch', 'owner', 'size', 'fails', 'lost', 'pub', 'hold', 'lease', 'pubs', 'bytes', 'parts')) do
  out[#out+1] = v or ''
end
return out
