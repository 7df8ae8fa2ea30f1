-- include: ledger window
-- For a pump that goes away: it may have taken the token that another one sleeps for.
-- returns 1
drain()
wake()
return 1
