# Jours et instants. $day, $month : nombres ; $year, $time : textes.
date-day = { $day ->
    [1] 1er
   *[other] { $day }
 } { $month ->
    [1] janvier
    [2] février
    [3] mars
    [4] avril
    [5] mai
    [6] juin
    [7] juillet
    [8] août
    [9] septembre
    [10] octobre
    [11] novembre
   *[12] décembre
 } { $year }
date-instant = { $day } à { $time } UTC
date-milliseconds = { $count } ms
date-seconds = { $count ->
    [one] { $count } seconde
   *[other] { $count } secondes
 }
date-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
 }
date-hours = { $count ->
    [one] { $count } heure
   *[other] { $count } heures
 }
date-days = { $count ->
    [one] { $count } jour
   *[other] { $count } jours
 }
