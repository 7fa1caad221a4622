"""The repository as web pages: static files for any host, readable without JavaScript.

<site>/index.html  page/2.html              the sets, the newest version of each
<site>/entries/<name>/<version>/index.html  a version, or its tombstone; with report.html
<site>/search.json                          what the start page searches
<site>/static/                              style and scripts; ort/ where pairs can be generated
<site>/repository/                          the repository itself, for `synthmed download --from`
"""
