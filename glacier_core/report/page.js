"use strict";
(() => {
  // tables: a click on a heading sorts by it
  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const table = heading.closest("table");
      const column = [...heading.parentNode.children].indexOf(heading);
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (row) => row.children[column].dataset.key ?? row.children[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const numbers = Number(x) - Number(y);
        const order = Number.isNaN(numbers) ? x.localeCompare(y, undefined, { numeric: true }) : numbers;
        return ascending ? order : -order;
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(compare));
    });
  }

  // print shows what is folded
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details.more, details.block")) folded.open = true;
  });

  const source = document.getElementById("data");
  const viewer = document.getElementById("viewer");
  if (!source || !viewer) return;
  const glaciers = JSON.parse(source.textContent);
  const part = (name) => viewer.querySelector(`[data-part="${name}"]`);
  const [select, slider, play, compare] = ["select", "slider", "play", "compare"].map(part);
  let chosen = null;
  let timer = null;

  const facts = (pairs) => {
    const list = part("facts");
    list.replaceChildren();
    for (const [name, value] of pairs) {
      if (value === null || value === undefined || value === "") continue;
      const term = document.createElement("dt");
      const text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      list.append(term, text);
    }
  };

  const draw = () => {
    const glacier = glaciers[chosen];
    const shown = glacier.years[Number(slider.value)];
    const first = glacier.years.find((year) => year.year === glacier.first) ?? glacier.years[0];
    const [width, height] = glacier.size;
    const picture = part("picture");
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const image = part("image");
    for (const [name, value] of [["width", width], ["height", height], ["href", shown.picture ?? ""]]) {
      image.setAttribute(name, value);
    }
    const before = compare?.checked && first.year < shown.year ? first.path ?? "" : "";
    part("before").setAttribute("d", before);
    part("now").setAttribute("d", shown.path ?? "");
    part("casing").setAttribute("d", (shown.path ?? "") + before);
    part("none").textContent = shown.picture ? "" : shown.path ? "outline only: the page has no room for this picture" : "no picture";
    part("bar").textContent = glacier.bar[1];
    part("bar").append(document.createElement("span"));
    const scale = picture.getBoundingClientRect().width;
    const drawn = Math.min(scale / width, picture.getBoundingClientRect().height / height);
    part("bar").firstElementChild.style.width = `${glacier.bar[0] * drawn}px`;
    part("year").textContent = shown.year;
    facts([
      ["Area", shown.area],
      [viewer.dataset.confidence + " interval", shown.interval],
      ["Terminus retreat", shown.retreat],
      ["Seen", shown.clear + " of the glacier's domain"],
      ["Flags", shown.flags.map((flag) => flag.replaceAll("_", " ")).join(", ")],
      ["Scenes", shown.scenes.join(", ")],
      ["No result in", Object.entries(glacier.withheld).map(([year, why]) => `${year} (${why})`).join("; ")],
    ]);
    const point = part("chart").querySelector(`[data-year="${shown.year}"]`);
    const cursor = part("chart").querySelector(".cursor");
    if (point && cursor) {
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, point.getAttribute("data-x"));
    }
  };

  const choose = (id, scroll) => {
    if (!glaciers[id]) return;
    chosen = id;
    select.value = id;
    slider.max = glaciers[id].years.length - 1;
    slider.value = slider.max;
    for (const marked of document.querySelectorAll("[data-glacier]")) {
      marked.classList.toggle("chosen", marked.dataset.glacier === id);
    }
    const chart = document.querySelector(`template[data-chart="${CSS.escape(id)}"]`);
    part("chart").replaceChildren(...(chart ? [chart.content.cloneNode(true)] : []));
    draw();
    if (scroll) viewer.scrollIntoView({ block: "start" });
  };

  const stop = () => {
    clearInterval(timer);
    timer = null;
    if (play) play.textContent = "▶ Play";
  };

  for (const marked of document.querySelectorAll("[data-glacier]")) {
    marked.addEventListener("click", () => {
      stop();
      choose(marked.dataset.glacier, !marked.closest("svg.map"));
    });
  }
  select.addEventListener("change", () => {
    stop();
    choose(select.value, false);
  });
  slider.addEventListener("input", () => {
    stop();
    draw();
  });
  compare?.addEventListener("change", draw);
  addEventListener("resize", draw);
  play?.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "❚❚ Pause";
    slider.value = 0;
    draw();
    timer = setInterval(() => {
      slider.value = Number(slider.value) >= Number(slider.max) ? 0 : Number(slider.value) + 1;
      draw();
    }, 850);
  });
  viewer.hidden = false;
  choose(select.value, false);
})();
