// Search in sections (written by _ext/sections.py) where Sphinx's own searches in pages: a result
// leads to the section that has the words, and its excerpt needs no fetch, which file:// forbids.
// Sphinx's searchtools.js parses the query and knows the library's functions.
const SHOWN = 40;
const stemmer = new Stemmer();
const stems = new Map();

function stem(word) {
  if (!stems.has(word)) stems.set(word, stemmer.stemWord(word.replace(/iz(?=[aei])/, "is")));
  return stems.get(word);
}

const split = text => splitQuery(text.toLowerCase());

// How often each of the stems is among the words; a stem of four letters or more may also begin one.
function counts(wanted, words) {
  const found = words.map(stem);
  return wanted.map(s => found.filter(f => f == s || (s.length > 3 && f.startsWith(s))).length);
}

function sectionResults(query) {
  const wanted = split(query).filter(word => !stopwords.includes(word)).map(stem);
  const results = [];
  for (const [page, sections] of Object.entries(SECTIONS)) {
    for (const [anchor, title, text] of sections) {
      const inTitle = counts(wanted, split(title));
      const inText = counts(wanted, split(text));
      const words = wanted.filter((_, i) => inTitle[i] + inText[i]).length;
      const phrase = `${title} ${text}`.toLowerCase().includes(query.toLowerCase().trim());
      const score = inTitle.filter(Boolean).length * 10 + phrase * 10
        + inText.reduce((sum, n) => sum + Math.min(n, 5), 0);
      const name = title == sections[0][1] ? title : `${sections[0][1]} › ${title}`;
      results.push({ url: `${page}.html#${anchor}`, name, text: excerpt(text, wanted), words, score });
    }
  }
  const most = Math.max(1, ...results.map(result => result.words)); // all of them, where one has all
  return results.filter(result => result.words == most).sort((a, b) => b.score - a.score);
}

function excerpt(text, wanted) {
  const words = text.split(" ");
  const first = words.findIndex(word => counts(wanted, split(word)).some(Boolean));
  const start = Math.max(first - 12, 0);
  return (start ? "… " : "") + words.slice(start, start + 36).join(" ") + (start + 36 < words.length ? " …" : "");
}

function functionResults(terms) {
  return [...terms].flatMap(term => Search.performObjectSearch(term, terms))
    .sort((a, b) => b[4] - a[4])
    .map(([page, name, anchor, text, score]) => ({ url: `${page}.html${anchor}`, name, text, score }));
}

Search.query = query => {
  const [, , , , terms] = Search._parseQuery(query); // also what the page found will highlight
  const functions = functionResults(terms);
  const named = functions.filter(result => result.score > Scorer.objNameMatch);
  const results = [...named, ...sectionResults(query), ...functions.filter(r => !named.includes(r))];
  const element = (tag, text, more = {}) =>
    Object.assign(document.createElement(tag), { textContent: text }, more);
  for (const { url, name, text } of results.slice(0, SHOWN)) {
    const item = document.createElement("li");
    item.append(element("a", name, { href: url }), element("p", text, { className: "context" }));
    Search.output.append(item);
  }
  Search.stopPulse();
  Search.title.textContent = "Search results";
  Search.status.textContent = results.length > SHOWN
    ? `The first ${SHOWN} of ${results.length} places.` : `Found in ${results.length} places.`;
};
