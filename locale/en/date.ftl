# Days and instants. $day, $month: numbers; $year, $time: texts.
date-day = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
 } { $year }
date-instant = { $day }, { $time } UTC
date-milliseconds = { $count } ms
date-seconds = { $count ->
    [one] { $count } second
   *[other] { $count } seconds
 }
date-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
 }
date-hours = { $count ->
    [one] { $count } hour
   *[other] { $count } hours
 }
date-days = { $count ->
    [one] { $count } day
   *[other] { $count } days
 }
