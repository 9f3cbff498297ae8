// The console needs no script. With one, times are told in the reader's own zone; the exact time in UTC stays one hover away.
const style = { dateStyle: "medium", timeStyle: "short" };
const words = new Intl.DateTimeFormat(document.documentElement.lang, style);
for (const at of document.querySelectorAll("time")) {
  at.title = at.textContent;
  at.textContent = words.format(new Date(at.dateTime));
}
