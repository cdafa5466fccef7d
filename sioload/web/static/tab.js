// In Locust's tab "Socket.IO": links to the chart page and the downloads, above the table that Locust draws.
(function () {
  "use strict";
  var LINKS = [
    ["./sioload/", "Charts"],
    ["./sioload/report.html", "HTML report"],
    ["./sioload/report.json", "JSON"],
    ["./sioload/events.csv", "CSV"],
    ["./sioload/sioload.hlog", ".hlog"],
  ];
  var nav = document.createElement("nav");
  nav.setAttribute("aria-label", "Socket.IO charts and downloads");
  nav.style.cssText = "display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;margin:0 0 1rem;font:inherit";
  LINKS.forEach(function (link) {
    var a = document.createElement("a");
    a.href = link[0];
    a.textContent = link[1];
    a.style.cssText = "color:#15803d;font-family:Roboto,Helvetica,Arial,sans-serif";
    nav.appendChild(a);
  });
  function place() {
    var tab = Array.from(document.querySelectorAll('[role="tab"]')).find(function (one) {
      return one.textContent === "Socket.IO";
    });
    var table = document.querySelector("main table");
    if (tab && table && tab.getAttribute("aria-selected") === "true") {
      var box = table.parentElement;
      if (nav.nextSibling !== box) box.parentElement.insertBefore(nav, box);
    } else if (nav.isConnected) {
      nav.remove();
    }
  }
  new MutationObserver(place).observe(document.getElementById("root"), { childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"] });
  place();
})();
