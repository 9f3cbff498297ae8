# La console des opérateurs et des administrateurs (/console).
